"""The child process of engine `llamacpp`: llama.cpp's server on a free port of the loopback.

It prints its address once the model is there, and ends with its standard input.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    """Serve the model that the first argument, a JSON object, names."""
    import xllamacpp

    asked: dict[str, Any] = json.loads(sys.argv[1])
    params: Any = xllamacpp.CommonParams()
    params.model.path, params.model_alias = asked["file"], {asked["name"]}
    params.n_parallel = asked["parallel"]
    # llama.cpp divides the context among requests.
    params.n_ctx = asked["context"] * asked["parallel"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked["threads"]
    params.hostnames, params.port = ["127.0.0.1"], 0
    # What the model wrote is read by evalkit, thoughts and calls included.
    params.force_pure_content_parser = True
    params.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    params.ui, params.fit_params, params.warmup = False, False, False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201 (to the parent)
    sys.stdin.read()


if __name__ == "__main__":
    main()
