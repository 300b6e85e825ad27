"""Values and files that tests of several parts make alike."""

from hoverfast_platform.scores import EvaluationSummary, Interval, MeanScores


def evaluation_summary(scores, *, n_images, n_true):
    """A measurement with these means, of one group."""
    return EvaluationSummary(
        n_images=n_images,
        n_groups=1,
        n_true=n_true,
        n_predicted=n_true,
        reference="annotations",
        device="cpu (openvino fp32)",
        code_version="0",
        scores=MeanScores(
            **{name: Interval(mean, None, None, n_images, 1) for name, mean in scores.items()}
        ),
    )
