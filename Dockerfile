# One recipe, three targets: `--target cpu`, and `cuda` (the default), which adds the three CUDA kernels; `verify` holds
# the wheel alone, and judges packets.
#
#     repro container build --target cpu        or: docker build --network=host --target cpu --tag repro .
#
# Works with BuildKit and with the classic builder. docs/adr/0014-container.md has the reasons.
# The order of the stages matters: the classic builder builds all stages before its target, and stops there.

# Every base is an argument, so that a mirror or a base made locally serves.
# python 3.11 on Debian bookworm: torch's wheels bring the CUDA runtime, the driver comes from the host.
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
ARG TOOLKIT=nvidia/cuda:12.1.1-devel-ubuntu22.04@sha256:7012e535a47883527d402da998384c30b936140c05e2537158c80b8143ee7425

# --- target verify: the wheel, and of the lock what it declares ----------------------------------------------
FROM ${BASE} AS light
ARG PIP_INDEX_URL
ARG PIP_CERT
ARG SOURCE_DATE_EPOCH=1720051200
ENV PYTHONDONTWRITEBYTECODE=1
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
COPY pyproject.toml pinned-requirements.txt pinned-kernels.txt requirements-dev.txt /build/
COPY catalog /build/catalog
COPY twins /build/twins
COPY repro /build/repro
COPY runner /build/runner
COPY verify /build/verify
WORKDIR /build
# What pyproject.toml declares, with all that this declares in turn; a test holds the list to it.
ARG LIGHT="annotated-types|contourpy|cycler|fonttools|jinja2|kiwisolver|markdown-it-py|markupsafe|matplotlib|mdurl|\
numpy|packaging|pillow|pydantic|pydantic-core|pygments|pyparsing|python-dateutil|rich|safetensors|scipy|six|typing-extensions"
# Byte code of what judging and reporting import, and of nothing else: a quarter of all there could be.
ARG COMPILE="import sys, py_compile, matplotlib.backends.backend_svg, jinja2.loaders; \
from repro.cli import compare, export, list, report, results, verify; \
from repro.report import collect, csv, markdown, page; \
[py_compile.compile(f, doraise=True) for f in {getattr(m, '__file__', None) or '' for m in sys.modules.values()} \
if f.startswith('/opt/venv') and f.endswith('.py')]"
RUN python3.11 -m venv tools && python3.11 -m venv --without-pip /opt/venv \
 && into() { python="$1/bin/python" && shift && tools/bin/pip --python "$python" --quiet --disable-pip-version-check \
        install --progress-bar off --no-cache-dir --no-deps --no-compile "$@"; } \
 && awk "/^[^ #]/ { keep = /^(setuptools|wheel)==/ } keep" pinned-requirements.txt > tools.txt \
 && awk "/^[^ #]/ { keep = /^($LIGHT)==/ } keep" pinned-requirements.txt > light.txt \
 && into tools --require-hashes --requirement tools.txt \
 && into /opt/venv --require-hashes --requirement light.txt \
 && tools/bin/python -c 'from setuptools import build_meta; build_meta.build_wheel("dist")' > /dev/null \
 && into /opt/venv --no-index dist/*.whl \
 && tools/bin/pip --python /opt/venv/bin/python --disable-pip-version-check check \
 && find /opt/venv/lib -type d -name tests -prune -exec rm -r {} + \
 && /opt/venv/bin/python -c "$COMPILE" \
 && find /opt/venv -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

FROM ${BASE} AS verify
ARG BASE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="lyapunov-repro verify" \
      org.opencontainers.image.description="Judges packets, offline: docker run -v DIR:/work verify verify packet.zip" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="$BASE" \
      repro.target="verify"
COPY --from=light /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1
WORKDIR /work
USER 10001:10001
VOLUME ["/tmp"]
STOPSIGNAL SIGINT
ENTRYPOINT ["repro"]
CMD ["--help"]

# --- the lock, installed -----------------------------------------------------------------------------------
FROM ${BASE} AS environment
# Another package index than pip's own, and the certificates that it is known by. Said again in each stage.
ARG PIP_INDEX_URL
ARG PIP_CERT
# The day of the last pin. Byte code then goes by the digest of its source, not by its time.
ARG SOURCE_DATE_EPOCH=1720051200
# pip's own imports leave byte code that goes by time; all of it is written below, by digest.
ENV PYTHONDONTWRITEBYTECODE=1
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
COPY pinned-requirements.txt /build/
# As in the Makefile: setuptools and wheel first, which build what is published as source only.
RUN python3.11 -m venv /opt/venv \
 && awk '/^[^ #]/ { keep = /^(setuptools|wheel)==/ } keep' /build/pinned-requirements.txt > /build/tools.txt \
 && for list in tools.txt pinned-requirements.txt; do \
        /opt/venv/bin/pip install --quiet --progress-bar off --disable-pip-version-check --no-cache-dir \
            --no-deps --require-hashes --no-build-isolation --no-compile --requirement "/build/$list" || exit; \
    done \
 && /opt/venv/bin/pip --disable-pip-version-check check \
 && /opt/venv/bin/python -m compileall -q -j 0 -x '/tests?/' /opt/venv/lib/python3.11/site-packages \
 && find /opt/venv -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

# --- the bundle, its data, and the lock of what lies under the packages --------------------------------------
FROM environment AS assembly
ARG PIP_INDEX_URL
ARG PIP_CERT
ARG SOURCE_DATE_EPOCH=1720051200
COPY paper.json pyproject.toml pinned-requirements.txt pinned-kernels.txt requirements-dev.txt /bundle/
COPY catalog /bundle/catalog
COPY evidence /bundle/evidence
COPY manifests /bundle/manifests
COPY proofs /bundle/proofs
COPY twins /bundle/twins
COPY repro /bundle/repro
COPY runner /bundle/runner
COPY verify /bundle/verify
WORKDIR /bundle
ENV PATH=/opt/venv/bin:$PATH REPRO_CACHE=/opt/inputs
RUN pip install --quiet --disable-pip-version-check --no-cache-dir --no-index --no-deps --no-compile \
        --no-build-isolation --editable . \
 && rm -rf ./*.egg-info build \
 && python -m compileall -q repro runner verify twins /opt/venv/lib/python3.11/site-packages/__editable__* \
 && python -m repro.container.steps inputs
ARG REVISION=unknown
RUN python -m repro.container.steps lock --target cpu --revision "$REVISION" \
 && install -d -m 1777 /bundle/results \
 && find /opt/venv /opt/inputs /bundle -newermt "@$SOURCE_DATE_EPOCH" \
        -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

# --- what both targets have in common ------------------------------------------------------------------------
FROM ${BASE} AS runtime
ARG BASE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="lyapunov-repro" \
      org.opencontainers.image.description="A verdict for every claim of arXiv 2406.00209" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="$BASE"
# No home: any uid may run it, and what a library wants to keep for the length of a run goes to /tmp. What is
# fetched from the model hub is kept with the results; everything else that is pinned is in the image.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    HF_HOME=/bundle/results/huggingface \
    REPRO_CACHE=/opt/inputs \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /bundle
# Python as process 1 heeds SIGINT, and no SIGTERM.
STOPSIGNAL SIGINT
ENTRYPOINT ["repro"]
CMD ["--help"]

# --- target cpu: everything but the CUDA kernels ---------------------------------------------------------------
FROM runtime AS cpu
LABEL repro.target="cpu"
COPY --from=assembly /opt/venv /opt/venv
COPY --from=assembly /opt/inputs /opt/inputs
COPY --from=assembly /bundle /bundle
USER 10001:10001
VOLUME ["/bundle/results", "/tmp"]

# --- the CUDA kernels, compiled --------------------------------------------------------------------------------
FROM ${TOOLKIT} AS toolkit

# From the lock and not from the bundle: a new manifest or record compiles nothing again.
FROM environment AS kernels
ARG PIP_INDEX_URL
ARG PIP_CERT
ARG SOURCE_DATE_EPOCH=1720051200
COPY --from=toolkit /usr/local/cuda /usr/local/cuda
# Debian's compiler stays in this stage; what it was is part of the base's release, not of a pin.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ git python3-dev \
 && rm -rf /var/lib/apt/lists/*
ARG MAX_JOBS=2
# A100 and A10G (which runs code for 8.0), H100 and H200: what the paper and this bundle name.
ARG TORCH_CUDA_ARCH_LIST="8.0;9.0"
ENV CUDA_HOME=/usr/local/cuda PATH=/opt/venv/bin:$PATH PYTHONPATH=/build
# A mirror of the public repositories, which serves as well: what is fetched is held to its commit.
ARG GIT_MIRROR=https://github.com/
COPY pinned-kernels.txt /build/
COPY repro /build/repro
WORKDIR /build
# A wheel that lies in the folder wheels/ is taken as it is. There need not be one.
COPY pinned-kernels.txt wheels*/causal_conv1d-*.whl wheels*/mamba_ssm-*.whl /opt/wheels/
RUN git config --system "url.$GIT_MIRROR.insteadOf" https://github.com/ \
 && python -m repro.container.steps kernels --wheels /opt/wheels causal-conv1d mamba-ssm
# flash-attn takes hours, so its wheel comes in a layer after the others.
COPY pinned-kernels.txt wheels*/flash_attn-*.whl /opt/wheels/
RUN python -m repro.container.steps kernels --wheels /opt/wheels

# Triton compiles a launcher in C for each of Mamba-2's kernels when it is first used: with a compiler, and with
# Python's headers, which Debian's own Python has in a package of their own.
FROM runtime AS runtime-cuda
# hadolint ignore=DL3008
RUN apt-get update \
 && headers=$(if [ -e /usr/bin/python3.11 ]; then echo libpython3.11-dev; else echo libc6-dev; fi) \
 && apt-get install --yes --no-install-recommends gcc libc6-dev "$headers" \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
# What Triton compiles is loaded as code, which a tmpfs at /tmp may forbid.
ENV TRITON_CACHE_DIR=/bundle/results/triton

FROM assembly AS assembly-cuda
ARG SOURCE_DATE_EPOCH=1720051200
COPY --from=kernels /opt/wheels /opt/wheels
COPY --from=runtime-cuda /var/lib/dpkg/status /build/dpkg-status
ARG REVISION=unknown
RUN pip install --quiet --no-cache-dir --no-index --no-deps --no-compile /opt/wheels/*.whl \
 && python -m compileall -q -j 0 -x '/tests?/' /opt/venv/lib/python3.11/site-packages \
 && python -m repro.container.steps lock --target cuda --revision "$REVISION" --dpkg-status /build/dpkg-status \
 && find /opt/venv /bundle -newermt "@$SOURCE_DATE_EPOCH" \
        -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

# --- target cuda, the default ------------------------------------------------------------------------------------
FROM runtime-cuda AS cuda
LABEL repro.target="cuda"
COPY --from=assembly-cuda /opt/venv /opt/venv
COPY --from=assembly-cuda /opt/inputs /opt/inputs
COPY --from=assembly-cuda /bundle /bundle
USER 10001:10001
VOLUME ["/bundle/results", "/tmp"]
