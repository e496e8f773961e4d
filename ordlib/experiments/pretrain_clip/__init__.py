"""How pico-clip is made: contrastive pretraining on rendered pictures and their captions.

``ordlib pretrain --help`` says what can be asked for. Nothing is imported here, so that the workers
that render and caption need no torch.
"""
