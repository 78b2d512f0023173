//! Compositions of pipelines: branches, merged sources, boxed parts. Each keeps order, loses nothing, and says of what its
//! faults are.

mod boxed;
mod branch_causes;
mod branch_ends;
mod branch_faults;
mod branches;
mod handles;
mod merged_partitions;
mod merges;
mod model;
mod parts;
mod shard_and_topic;
mod shared_values;
