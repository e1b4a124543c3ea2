"""hw_sim side by side with other simulators on the shared workloads, in one run: ``python -m benchmarks.peers``.

Every simulator runs in a process of its own, most of them in a venv of their own under ``build/peers``, made on demand. Nothing
here imports one of them: ``runners/`` holds one small program each, which reads a plain ``.npz`` and answers in JSON lines.
"""
