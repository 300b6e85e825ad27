"""Make a judged student of a training set: targets, loss, augmentation, the loop, checkpoints.

Needs torch. Metrics are in ``evaluation``, files of training sets in ``storage.patch_table``.
"""
