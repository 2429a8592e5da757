//! Datagrams: each is a message of its own.

use std::sync::Arc;
use std::time::Duration;

use muster_metric::{Batch, Room};
use muster_net::{Datagrams, Encoding};
use muster_plugin::{PluginError, ServiceContext};

use super::{Settings, report};

/// The longest datagram: more than UDP can carry.
const BUFFER: usize = 256 << 10;

/// So many datagrams that wait already go into one batch.
const MOST_AT_ONCE: usize = 512;

/// Receives until the input is cancelled.
pub(super) async fn run(
    cx: &ServiceContext,
    socket: &Datagrams,
    settings: &Arc<Settings>,
) -> Result<(), PluginError> {
    let mut buffer = vec![0; BUFFER];
    let mut room = Room::default();
    loop {
        let received = tokio::select! {
            biased;
            () = cx.cancelled() => return Ok(()),
            received = socket.receive(&mut buffer) => received,
        };
        let mut batch = Batch::with_room(room);
        let mut next = received.map(Some);
        let mut taken = 0;
        loop {
            match next {
                Ok(Some(length)) => take(cx, settings, &buffer[..length], &mut batch),
                Ok(None) => break,
                Err(error) => {
                    cx.report(PluginError::new("receive a datagram").because(error));
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    break;
                }
            }
            taken += 1;
            if taken == MOST_AT_ONCE {
                break;
            }
            next = socket.try_receive(&mut buffer);
        }
        room = batch.room();
        cx.emit(batch).await;
    }
}

fn take(cx: &ServiceContext, settings: &Settings, datagram: &[u8], batch: &mut Batch) {
    if settings.encoding == Encoding::Identity {
        report(cx, "a datagram", settings.parser.parse(datagram, batch));
        return;
    }
    match settings
        .encoding
        .decode(datagram.to_vec(), settings.max_decompressed)
    {
        Ok(plain) => report(cx, "a datagram", settings.parser.parse(&plain, batch)),
        Err(error) => cx.report(PluginError::new("decompress a datagram").because(error)),
    }
}
