"""Computes with what was loaded: one forward pass on every rank, and the same ids through Transformers.

On each rank (`passing`): a fixed prompt (`prompt`) goes through the model while hooks (`points`) see what enters and
leaves every module; what is not finite, or differs between ranks (`equality`), is reported (`passed`). In the process
of the command the reports become verdicts (`conclusion`), and the states that rank 0 kept (`states`) are compared with
those of the reference (`reference`), landmark by landmark (`bisection`), tokens being sent to the same experts on both
sides (`routing`). What departs is reported (`departure`) with what speaks against its tensors: other values in the
reference's folder (`twins`), or nothing, where the two configs compute different things (`configs`).
"""
