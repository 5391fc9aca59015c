//! What is, what should be, and the walk between: observed values, steps, the plan graph, failures, events, the Layer trait.
