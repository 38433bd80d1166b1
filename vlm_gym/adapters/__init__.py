"""The games under the trainers and servers of others: one core, and one module for each of them.

`play` is the core. Every other module gives it the form that one library expects, and imports that library.
"""
