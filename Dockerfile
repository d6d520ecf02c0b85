FROM python:3.11.13-slim-bookworm

# The user of the processes: the host's, where it must read a secret of mode 600.
ARG UID=1000
# https://pypi.org/simple has the wheels with CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# JPEG and BERT; `energy` where a GPU's power may be measured.
ARG EXTRAS=postgres,images,glue

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A volume that is mounted on an empty place takes over its owner.
RUN useradd --create-home --uid "${UID}" ecd \
    && install --directory --owner ecd --mode 700 /var/lib/ecd_tune
WORKDIR /opt/ecd_tune
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE ./
COPY ecd_tune ecd_tune
COPY studies studies
# The compiler makes the fused step of the optimizers, and is not needed afterwards.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && pip install --no-cache-dir --constraint constraints.txt \
        --extra-index-url "${TORCH_INDEX}" ".[${EXTRAS}]" \
    && apt-get purge --yes --auto-remove gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY --chmod=755 storage/entrypoint.sh /usr/local/bin/entrypoint.sh

USER ecd
WORKDIR /home/ecd
ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]
CMD ["--help"]
