"""Bundles from ready ONNX files, of any architecture whose inputs and outputs fit.

`compile` builds the graph from weights and proves it against a second implementation; `import`
takes the graph as it is, adds the pooling that Triptych serves, and pins what it gave here.
"""
