FROM python:3.11.13-slim-bookworm

RUN useradd --create-home --uid 1000 ecd
WORKDIR /opt/ecd_tune
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ecd_tune ecd_tune
COPY studies studies
RUN pip install --no-cache-dir --constraint constraints.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu '.[postgres]'

USER ecd
WORKDIR /home/ecd
ENTRYPOINT ["ecd-tune"]
CMD ["--help"]
