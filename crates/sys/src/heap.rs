//! What memory the process keeps: the allocator's (mallopt(3), malloc_trim(3); glibc), and pages that
//! are not needed for now (madvise(2)).

/// Keeps the heap small: large blocks are mapped on their own and given back when they are freed,
/// and there is one arena.
///
/// `large` is the size in bytes from which a block is large.
pub fn keep_small(large: i32) {
    // SAFETY: the calls take integers and change parameters of the allocator that may be changed at
    // any time; this one's own state is behind its lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, large);
        libc::mallopt(libc::M_TRIM_THRESHOLD, large);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives free memory back to the kernel.
pub fn trim() {
    // SAFETY: the call takes an integer, and the allocator locks its own state.
    unsafe { libc::malloc_trim(0) };
}

/// Asks the kernel to take back the pages that hold `bytes`, which are not needed for now
/// (`MADV_PAGEOUT`, Linux 5.4). They come back by themselves when they are touched.
///
/// It is advice: on older kernels, and for pages that others map, nothing happens.
pub fn page_out(bytes: &[u8]) {
    const PAGE: usize = 4096;
    let before = bytes.as_ptr().align_offset(PAGE);
    let Some(inner) = bytes.get(before..) else { return };
    let length = inner.len() - inner.len() % PAGE;
    // SAFETY: the range is whole pages inside of `bytes`, which are mapped; the advice changes where
    // the contents are kept, never what they are.
    unsafe { libc::madvise(inner.as_ptr().cast_mut().cast(), length, libc::MADV_PAGEOUT) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_paged_out_is_still_there() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        page_out(&bytes);
        page_out(&bytes[3..5]);
        page_out(&[]);
        assert!(bytes.iter().zip(0_u32..).all(|(byte, n)| *byte == n.to_le_bytes()[0]));
    }
}
