//! What is answered, and what becomes of the work when the client goes.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::net::SocketAddr;
use std::time::Duration;

use lazy_server::{End, Ended, Mood, Moods, Server};
use muster_tasks::Group;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const HOUR: Duration = Duration::from_secs(3600);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";

async fn start(root: &Group, lazy_of_100: u64) -> (Server, mpsc::Receiver<Ended>) {
    let (to, told) = mpsc::channel(100);
    let moods = Moods {
        quick: Duration::from_millis(1),
        lazy: HOUR,
        lazy_of_100,
    };
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let tell = move |ended| to.try_send(ended).unwrap();
    let server = Server::start(root, anywhere, moods, tell).await.unwrap();
    (server, told)
}

/// Waits for the server's word on one request; far shorter than its work would take.
async fn heard(told: &mut mpsc::Receiver<Ended>) -> Ended {
    let heard = muster_tasks::timeout(Duration::from_secs(30), told.recv());
    heard.await.unwrap().unwrap()
}

async fn no_connection_is_left(server: &Server) {
    let gone = async {
        while server.open() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let gone = muster_tasks::timeout(Duration::from_secs(30), gone).await;
    gone.unwrap();
}

#[muster_tasks::test]
async fn a_quick_answer_comes(root: Group) {
    let (server, mut told) = start(&root, 0).await;
    let mut client = TcpStream::connect(server.address()).await.unwrap();
    client.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("here you are\n"), "{answer}");
    let ended = heard(&mut told).await;
    assert_eq!((ended.mood, ended.end), (Mood::Quick, End::Answered));
    no_connection_is_left(&server).await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn work_for_a_client_that_has_gone_is_dropped(root: Group) {
    let (server, mut told) = start(&root, 100).await;
    let mut client = TcpStream::connect(server.address()).await.unwrap();
    client.write_all(REQUEST).await.unwrap();
    while !root.render_tree().contains("working") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(client);
    let ended = heard(&mut told).await;
    assert_eq!((ended.mood, ended.end), (Mood::Lazy, End::Dropped));
    no_connection_is_left(&server).await;
    // Only the task that accepts.
    assert_eq!(root.count(), 1, "{}", root.render_tree());
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn the_end_of_the_server_does_not_wait_for_lazy_work(root: Group) {
    let (server, mut told) = start(&root, 100).await;
    let mut client = TcpStream::connect(server.address()).await.unwrap();
    client.write_all(REQUEST).await.unwrap();
    while !root.render_tree().contains("working") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(root.stop().await.is_clean());
    assert_eq!(heard(&mut told).await.end, End::Dropped);
    // The connection was closed without an answer.
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[test]
fn moods_are_drawn_as_often_as_told() {
    let lazy_of = |lazy_of_100| {
        let moods = Moods {
            lazy_of_100,
            ..Moods::default()
        };
        let drawn = (0..1000).map(|_| moods.draw());
        drawn.filter(|mood| *mood == Mood::Lazy).count()
    };
    assert_eq!((lazy_of(0), lazy_of(100)), (0, 1000));
    assert!((350..650).contains(&lazy_of(50)));
}
