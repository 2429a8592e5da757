//! Child processes that end.
//!
//! Every child is the leader of a process group of its own and is kept by a task of a
//! [`Group`](muster_tasks::Group). When its [`Child`] handle is dropped, when a
//! [`run`](Command::run) times out or is given up, or when the group is stopped, the whole process
//! group gets SIGTERM and, if it does not end soon, SIGKILL; the child is reaped in any case. What
//! a command leaves running in its process group when it ends is killed too. What is read from a
//! child is bounded.
//!
//! ```
//! use muster_process::{Command, Limits};
//! use muster_tasks::Group;
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let root = Group::root("app");
//! let output = Command::parse("echo 'hello, world'")?.run(&root, &[], Limits::default()).await?;
//! assert_eq!(output.stdout, b"hello, world\n");
//! # assert!(root.stop().await.is_clean());
//! # Ok(()) }
//! ```

mod child;
mod command;
mod lines;
mod run;
mod split;

pub use child::{Child, Exit, Exited};
pub use command::{Command, CommandError};
pub use lines::{Line, Lines};
pub use run::{Limits, Output, RunError};
pub use rustix::process::Signal;
pub use split::{SplitError, join, split};
