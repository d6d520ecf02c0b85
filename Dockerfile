FROM python:3.11.13-slim-bookworm

# The user of the processes: the host's, where it must read a secret of mode 600.
ARG UID=1000
# https://pypi.org/simple has the wheels with CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --create-home --uid "${UID}" ecd
WORKDIR /opt/ecd_tune
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ecd_tune ecd_tune
COPY studies studies
RUN pip install --no-cache-dir --constraint constraints.txt \
        --extra-index-url "${TORCH_INDEX}" '.[postgres]'
COPY --chmod=755 storage/entrypoint.sh /usr/local/bin/entrypoint.sh

USER ecd
WORKDIR /home/ecd
ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]
CMD ["--help"]
