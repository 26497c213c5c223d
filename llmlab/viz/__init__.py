"""Pictures and widgets: they take plain arrays, strings and functions, never a model.

``AttentionStepper`` attention of one query in five steps, with numbers (attention_stepper)
``AttentionExplorer``  every head of every layer on your own text (attention_explorer)
``EmbeddingMap`` words on the plane that shows most of how they differ (embedding_map)
``LeaveOneOut``  a text box that tells its class, and which words moved the answer (leave_one_out)
``NextToken``    bars of the most likely next tokens, which change while you type (next_token)
``TokenStrip``   a text as coloured tokens, after any number of merges (token_strip)
``TokenValues``  the tokens of a text, coloured by what is said of each of them (token_values)
``TrainingBoard``  live curves of a training run, its progress and the time left (training_board)
``TranslationStepper`` a sentence translated one token at a time (translation_stepper)
``attention_heatmap``  who looks at whom, as labelled squares with the mask (attention_map)
``bars``         numbers by name as horizontal bars (plots)
``grouped_bars`` several numbers by name, such as before and after (plots)
``points``       numbers by name on an axis of powers of ten (plots)
``curves``       lines over the same places, such as a falling loss (plots)
``heatmap``      a table of numbers as coloured squares (plots)
``scatter``      named points on a plane, in groups (plots)

A name is loaded when it is first asked for, so importing this package is quick.
"""

from importlib import import_module

_HOMES = {
    "AttentionExplorer": "attention_explorer",
    "AttentionStepper": "attention_stepper",
    "EmbeddingMap": "embedding_map",
    "LeaveOneOut": "leave_one_out",
    "NextToken": "next_token",
    "TokenStrip": "token_strip",
    "TokenValues": "token_values",
    "TranslationStepper": "translation_stepper",
    "TrainingBoard": "training_board",
    "attention_heatmap": "attention_map",
    "bars": "plots",
    "curves": "plots",
    "grouped_bars": "plots",
    "heatmap": "plots",
    "points": "plots",
    "scatter": "plots",
}

__all__ = [
    "AttentionExplorer",
    "AttentionStepper",
    "EmbeddingMap",
    "LeaveOneOut",
    "NextToken",
    "TokenStrip",
    "TokenValues",
    "TrainingBoard",
    "TranslationStepper",
    "attention_heatmap",
    "bars",
    "curves",
    "grouped_bars",
    "heatmap",
    "points",
    "scatter",
]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
