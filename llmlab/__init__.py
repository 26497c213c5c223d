"""llmlab: large language models you can build, watch and train on a laptop.

The packages, in the order in which text flows through them:

``llmlab.data``         corpora and weights: what exists, how it is brought, how it is read
``llmlab.text``         text to token ids and back
``llmlab.model``        attention, the GPT, the Translator, and pretrained weights
``llmlab.train``        batches, losses, optimisers, the training loop, checkpoints
``llmlab.inference``    a model at work: generating, chatting, translating, looking inside
``llmlab.pretraining``  a GPT by its recipe: the plan, the run in one process or in many
``llmlab.exercises``    exercises that check themselves and say what is wrong
``llmlab.classroom``    editions for a class, and what learners have handed in
``llmlab.viz``          pictures and widgets; they take plain arrays, strings and functions
``llmlab.device``       which device and number format to compute with
``llmlab.threads``      how torch's threads get along with other programs
``llmlab.recipes``      how the weights that come with llmlab are made
``llmlab.cli``          the ``llmlab`` command: lab, fetch, doctor, train, chat, class

Importing ``llmlab`` itself loads nothing heavy.
"""

__version__ = "0.1.0"
