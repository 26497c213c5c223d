"""What holds for every test, those in notebooks included."""

from llmlab.threads import share_cores

share_cores()  # tests, kernels and a browser run beside each other; kernels inherit this
