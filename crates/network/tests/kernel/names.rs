//! Questions for names inside a container.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use corten_network::{isolated_namespace, name_sockets};
use corten_sys::netns;

use crate::world::run;

#[test]
fn questions_at_port_53_arrive_and_so_do_the_answers() {
    let container = isolated_namespace().unwrap();
    // Twice: the later sockets are the ones that count.
    drop(name_sockets(container.as_fd()).unwrap());
    let sockets = name_sockets(container.as_fd()).unwrap();
    let (server, listener) = (UdpSocket::from(sockets.udp), TcpListener::from(sockets.tcp));
    let patience = Some(Duration::from_secs(5));
    server.set_read_timeout(patience).unwrap();
    let mut buffer = [0; 16];

    let client = netns::run_in(container.as_fd(), || {
        // The container may have the port itself, and track its connections.
        let own = UdpSocket::bind("0.0.0.0:53").unwrap();
        run("nft add table ip own");
        run("nft add chain ip own out { type filter hook output priority 0; policy accept; }");
        run("nft add rule ip own out ct state invalid drop");
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        client.connect("127.0.0.11:53").unwrap();
        client.set_read_timeout(patience).unwrap();
        (own, client)
    });
    let (_own, client) = client.unwrap();
    client.send(b"question").unwrap();
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"question");
    server.send_to(b"answer", from).unwrap();
    let length = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"answer");

    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"by tcp").unwrap();
    });
    let mut client = netns::run_in(container.as_fd(), || TcpStream::connect("127.0.0.11:53").unwrap()).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "by tcp");
    answering.join().unwrap();
}
