//! What is on its way in a connection (tcp(7), unix(7)).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// How many bytes of what was written to a stream socket the other side has not yet acknowledged
/// (TCP) or read (unix): `SIOCOUTQ`.
///
/// # Errors
/// What ioctl(2) gives.
pub fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one int to the address it is given, which is that of `bytes`; the
    // descriptor is borrowed and so open.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    match result {
        0 => Ok(usize::try_from(bytes).unwrap_or(0)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_unread_is_told() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        assert_eq!(unacknowledged(near.as_fd()).unwrap(), 0);
        near.write_all(b"some bytes").unwrap();
        assert!(unacknowledged(near.as_fd()).unwrap() > 0);
        far.read_exact(&mut [0; 10]).unwrap();
        assert_eq!(unacknowledged(near.as_fd()).unwrap(), 0);
    }
}
