"""A Hypothesis state machine over the engine: work, crashes, faults, callbacks, time, people's words, in any order."""
