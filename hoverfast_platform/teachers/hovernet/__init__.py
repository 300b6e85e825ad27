"""HoVer-Net, the slow teacher: network, published checkpoints, its own decoder.

Graham et al., Medical Image Analysis 58 (2019) 101563. Written from the paper and the layer
names of the released weights (github.com/vqdang/hover_net), which load unchanged.
"""
