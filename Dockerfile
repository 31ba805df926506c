# rim in a container, on the CPU (default) or on NVIDIA GPUs:
#   docker build --tag rim .
#   docker build --tag rim --build-arg DEVICE=cuda .    # 5 GB of CUDA libraries more
# The demo, its pages into ./demo:
#   docker run --rm --user "$(id -u)" --volume "$PWD/demo:/rim/demo" rim
# Any command, in the folder where you are (add --gpus all for CUDA):
#   docker run --rm --user "$(id -u)" --volume "$PWD:/data" --workdir /data rim rim build words.txt --out bank
FROM python:3.11-slim

ARG DEVICE=cpu

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home rim

WORKDIR /rim
COPY Makefile pyproject.toml constraints.txt README.md LICENSE ./
COPY schemas schemas
COPY foundation foundation
COPY bank_builder bank_builder
COPY query query
COPY rim rim
COPY miniature miniature
COPY data data
COPY benchmarks benchmarks

ENV UV_NO_CACHE=1
RUN make install-${DEVICE} EXTRAS=app

# Weights and what rim remembers of files; a volume here keeps them. Whoever runs the container may write.
ENV HF_HOME=/cache/huggingface RIM_CACHE=/cache/rim PATH=/rim/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1
RUN install --directory --mode=1777 /cache /rim/demo
USER rim
CMD ["make", "demo"]
