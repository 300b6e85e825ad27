"""From a training set to a judged student: targets, loss, augmentation, the loop, checkpoints.

Needs torch. Metrics are in ``evaluation``, files of training sets in ``storage.patch_table``.
"""
