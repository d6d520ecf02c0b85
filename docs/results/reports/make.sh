#!/bin/sh
# Write the reports and pictures beside this file. Run at the root of a checkout: `make reports`,
# for all four `make reports STUDIES="zakharov digits cora sst2-tiny"` (an hour). Studies that are
# complete in ECD_TUNE_STORAGE are not run again.
set -eu
here=docs/results/reports
work=$(mktemp -d)
export ECD_TUNE_STORAGE="${ECD_TUNE_STORAGE:-sqlite:///$work/studies.db}" OMP_NUM_THREADS=1
for study in "$@"; do
    ecd-tune run "$study" --workers 2 --out "$work/$study"
    rm -rf "${here:?}/$study"
    mkdir -p "$here/$study"
    cp -r "$work/$study/report.md" "$work/$study/figures" "$here/$study/"
    ecd-tune best "$study" --format toml > "$here/$study/best.toml"
done
ecd-tune compare "$@" --out "$work/comparison" --format md,html
rm -rf "$here/comparison"
mkdir -p "$here/comparison"
cp -r "$work/comparison/comparison.md" "$work/comparison/figures" "$here/comparison/"
for page in comparison/comparison $(printf '%s/report ' "$@"); do
    for width in 1400 390; do
        for scheme in light dark; do
            picture="$here/$(dirname "$page")/$width-$scheme.png"
            python docs/picture.py "$work/$page.html" "$picture" "$width" "$scheme"
        done
    done
done
ls -l "$work"/*/report.html "$work"/comparison/comparison.html | awk '{ print $5, $9 }'
rm -rf "$work"
