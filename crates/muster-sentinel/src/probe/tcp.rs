//! Checking whether a connection can be opened, and what comes over it.

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::{Dialer, Phase, Probe};
use crate::classify;
use crate::status::{Answer, Outcome, Reason, Target};

/// Opens a connection, sends a text and compares the beginning of the answer. The connection is
/// closed with each check.
#[derive(Debug)]
pub struct TcpProbe {
    target: Target,
    dialer: Dialer,
    send: String,
    expect: String,
    phase: Phase,
}

impl TcpProbe {
    /// A check of the service at `target`; nothing is sent, nothing expected if these are empty.
    pub fn new(target: Target, dialer: Dialer, send: String, expect: String) -> Self {
        Self {
            target,
            dialer,
            send,
            expect,
            phase: Phase::default(),
        }
    }

    async fn ask(&mut self) -> Result<Answer, Outcome> {
        let began = Instant::now();
        let mut stream = self.dialer.dial(&self.target, &mut self.phase).await?;
        self.phase = Phase::Waiting;
        let io = |error: std::io::Error| classify::io_error(&error);
        if !self.send.is_empty() {
            stream.write_all(self.send.as_bytes()).await.map_err(io)?;
            stream.flush().await.map_err(io)?;
        }
        // No more is read than is compared.
        let mut begin = Vec::new();
        let wanted = self.expect.len() as u64;
        (&mut stream)
            .take(wanted)
            .read_to_end(&mut begin)
            .await
            .map_err(io)?;
        let outcome = if begin == self.expect.as_bytes() {
            Outcome::OK
        } else if begin.is_empty() {
            Outcome::new(Reason::Closed, "closed before the answer")
        } else {
            let said = String::from_utf8_lossy(&begin);
            Outcome::new(Reason::Failed, format!("the answer begins with {said:?}"))
        };
        let mut answer = Answer::from(outcome);
        answer.rtt = Some(began.elapsed());
        Ok(answer)
    }
}

#[async_trait]
impl Probe for TcpProbe {
    async fn check(&mut self, _: Instant) -> Answer {
        self.ask().await.unwrap_or_else(Answer::from)
    }

    fn overdue(&self) -> Outcome {
        self.phase.overdue()
    }
}
