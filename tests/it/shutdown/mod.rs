//! What goes away while writes are outstanding: the runtime, the tasks that submit, the handles, the receipts.
//!
//! Nobody waits for ever, and no failure vanishes but where everyone who could hear of it is gone.

mod owners;
mod runtime;
