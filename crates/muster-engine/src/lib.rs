//! Scheduler, pipeline and queues: from desired to observed state.
