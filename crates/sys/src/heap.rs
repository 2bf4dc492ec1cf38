//! What the allocator keeps (mallopt(3), malloc_trim(3); glibc).

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
