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
    let before = bytes.as_ptr().align_offset(PAGE);
    let Some(inner) = bytes.get(before..) else { return };
    let length = inner.len() - inner.len() % PAGE;
    // SAFETY: the range is whole pages inside of `bytes`, which are mapped; the advice changes where
    // the contents are kept, never what they are.
    unsafe { libc::madvise(inner.as_ptr().cast_mut().cast(), length, libc::MADV_PAGEOUT) };
}

/// Forgets which pages of the running program are in memory: those that its instructions and constants are in come
/// back from the page cache when they are touched. Meanwhile they don't count as this process's.
pub fn let_go_of_program() {
    // SAFETY: the callback has the type that is asked for, and keeps nothing of what it is given.
    unsafe { libc::dl_iterate_phdr(Some(let_go_of_first), std::ptr::null_mut()) };
}

/// Does it for the first object, which is the program itself (`dl_iterate_phdr(3)`).
///
/// # Safety
/// `info` is what `dl_iterate_phdr` hands out.
unsafe extern "C" fn let_go_of_first(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: by the contract, it points to a description that lives as long as the call.
    let info = unsafe { &*info };
    if info.dlpi_phdr.is_null() {
        return 1;
    }
    // SAFETY: the description says where the program's headers are, and how many; they stay as long as it runs.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    // What is made read-only after its relocation belongs to a segment that is writable, and is left alone.
    let is_clean = |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0;
    for header in headers.iter().filter(is_clean) {
        let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
        let (Ok(start), Ok(size)) = (usize::try_from(start), usize::try_from(header.p_filesz)) else {
            continue;
        };
        let first = start.next_multiple_of(PAGE);
        let length = start.wrapping_add(size).saturating_sub(first) / PAGE * PAGE;
        // SAFETY: whole pages of a segment that is mapped from a file and never written: what the kernel drops
        // here, it reads again from the same file at the next access.
        unsafe {
            libc::madvise(
                std::ptr::with_exposed_provenance_mut(first),
                length,
                libc::MADV_DONTNEED,
            )
        };
    }
    1
}

/// The size of a page, in bytes. Where it is larger, the kernel may refuse the advice.
const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_goes_on_when_it_was_let_go() {
        let before: String = ["constants", " and ", "code"].concat();
        for _ in 0..3 {
            let_go_of_program();
            assert_eq!(["constants", " and ", "code"].concat(), before);
            assert_eq!(format!("{:?}", std::io::ErrorKind::NotFound), "NotFound");
        }
    }

    #[test]
    fn what_is_paged_out_is_still_there() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        page_out(&bytes);
        page_out(&bytes[3..5]);
        page_out(&[]);
        assert!(bytes.iter().zip(0_u32..).all(|(byte, n)| *byte == n.to_le_bytes()[0]));
    }
}
