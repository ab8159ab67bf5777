# syntax=docker/dockerfile:1
# The service with the dataset and the policy of the package, for a CPU and for CUDA:
#   docker build --target cpu -t proofrank:cpu .
#   docker build --target cuda -t proofrank:cuda .
# docs/containers.md says how to run them and what has not been built.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm
# The wheels of torch bring the CUDA libraries; the image has the driver's part that they need.
ARG CUDA_IMAGE=nvidia/cuda:12.8.1-base-ubuntu24.04

# --- Run time: Python, and a C++ compiler, which compiled engines also need to read their cache.
FROM ${PYTHON_IMAGE} AS base-cpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

FROM ${CUDA_IMAGE} AS base-cuda
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

# --- Build: a virtual environment for each image, with the matching torch.
FROM base-cpu AS build-cpu
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python3 -m venv /opt/proofrank \
    && /opt/proofrank/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" "$TORCH"
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY proofrank proofrank
COPY core core
COPY service service
COPY training training
RUN /opt/proofrank/bin/pip install --no-cache-dir ".[server]"

FROM base-cuda AS build-cuda
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=https://download.pytorch.org/whl/cu128
RUN python3 -m venv /opt/proofrank \
    && /opt/proofrank/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" "$TORCH"
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY proofrank proofrank
COPY core core
COPY service service
COPY training training
RUN /opt/proofrank/bin/pip install --no-cache-dir ".[server]"

# --- The image for CUDA. Nothing is compiled here, because a build sees no GPU; the first start fills the volume.
FROM base-cuda AS cuda
COPY --from=build-cuda /opt/proofrank /opt/proofrank
RUN useradd --system --uid 10001 --home-dir /data proofrank \
    && install -d -o proofrank -g proofrank /data /cache
USER 10001
WORKDIR /data
ENV PATH=/opt/proofrank/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TMPDIR=/tmp \
    PROOFRANK_HOST=0.0.0.0 \
    PROOFRANK_DATA_FOLDER=/data \
    PROOFRANK_CACHE_FOLDER=/cache
VOLUME ["/data", "/cache"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["proofrank"]
CMD ["serve"]

# --- The image for a CPU, the last and so the default.
FROM base-cpu AS cpu
COPY --from=build-cpu /opt/proofrank /opt/proofrank
RUN useradd --system --uid 10001 --home-dir /data proofrank \
    && install -d -o proofrank -g proofrank /data /cache
USER 10001
WORKDIR /data
ENV PATH=/opt/proofrank/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TMPDIR=/tmp \
    PROOFRANK_HOST=0.0.0.0 \
    PROOFRANK_DATA_FOLDER=/data \
    PROOFRANK_CACHE_FOLDER=/cache
# Artifacts of a compiled engine for this number of threads, with which a new volume begins. COMPILE_ENGINE= for none.
ARG COMPILE_ENGINE=default
ARG COMPILE_THREADS=2
RUN if [ -n "$COMPILE_ENGINE" ]; then \
        proofrank compile --engine "$COMPILE_ENGINE" --threads "$COMPILE_THREADS" --cache-folder /cache; \
    fi
VOLUME ["/data", "/cache"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["proofrank"]
CMD ["serve"]
