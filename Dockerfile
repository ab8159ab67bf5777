# The service with the dataset and the policy of the package; mount others and name them by PROOFRANK_DATASET and
# PROOFRANK_POLICY.
FROM python:3.11-slim

WORKDIR /src
ARG TORCH=torch==2.13.0
RUN pip install --no-cache-dir "$TORCH"
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY service service
COPY training training
RUN pip install --no-cache-dir . && rm -rf /src/*

RUN useradd --create-home proofrank
USER proofrank
WORKDIR /home/proofrank
ENV PROOFRANK_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=10s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz')"]
ENTRYPOINT ["proofrank"]
CMD ["serve"]
