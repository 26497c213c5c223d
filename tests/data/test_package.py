import inspect
import subprocess
import sys

import llmlab.data


def test_importing_is_light():
    heavy = ("torch", "numpy", "tqdm", "num2words")
    code = f"import sys, llmlab.data; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_public_names_are_what_they_say():
    for name in llmlab.data.__all__:
        assert inspect.getdoc(getattr(llmlab.data, name)), name
    for name in ("fetch", "catalog", "shakespeare", "glove"):
        assert inspect.isfunction(getattr(llmlab.data, name))
        assert name + "(" in llmlab.data.__doc__
