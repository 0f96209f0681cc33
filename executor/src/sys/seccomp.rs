//! A seccomp filter: compiled by libseccomp, once, and loaded from its bytes.

use std::ffi::CString;
use std::io;

use libseccomp_sys as lib;

/// What libseccomp answers to a name that it does not know.
const UNKNOWN_CALL: i32 = -1;

/// What a rule does with a system call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    Allow,
    Fail(u16),
}

impl Action {
    fn code(self) -> u32 {
        match self {
            Self::Allow => lib::SCMP_ACT_ALLOW,
            Self::Fail(errno) => lib::SCMP_ACT_ERRNO(errno),
        }
    }
}

/// A condition on one argument of a system call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Condition {
    LessThan(u64),
    Equal(u64),
    /// None of these bits is set.
    Clear(u64),
}

/// A filter under construction.
pub(crate) struct Builder {
    context: lib::scmp_filter_ctx,
}

impl Builder {
    /// A filter for one architecture that fails every call with `errno`.
    pub(crate) fn new(errno: u16, architecture: u32) -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let context = unsafe { lib::seccomp_init(Action::Fail(errno).code()) };
        if context.is_null() {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        let builder = Self { context };
        let binary_tree = 2;
        let optimize = lib::scmp_filter_attr::SCMP_FLTATR_CTL_OPTIMIZE;
        // SAFETY: the context is alive for as long as `builder`.
        check(unsafe { lib::seccomp_attr_set(context, optimize, binary_tree) })?;
        if architecture != lib::SCMP_ARCH_NATIVE {
            // SAFETY: the context is alive.
            check(unsafe { lib::seccomp_arch_add(context, architecture) })?;
            // SAFETY: as above.
            check(unsafe { lib::seccomp_arch_remove(context, lib::SCMP_ARCH_NATIVE) })?;
        }
        Ok(builder)
    }

    /// Makes this the filter for the architectures of both.
    pub(crate) fn merge(&mut self, other: Self) -> io::Result<()> {
        // SAFETY: both contexts are alive.
        check(unsafe { lib::seccomp_merge(self.context, other.context) })?;
        // Now owned, and released, by the other context.
        std::mem::forget(other);
        Ok(())
    }

    /// Adds a rule; with a condition it concerns argument 0. A call that libseccomp does not know is skipped and `None` returned, otherwise its number
    /// on the native architecture (negative if it only exists on another).
    pub(crate) fn add(
        &mut self,
        name: &str,
        action: Action,
        condition: Option<Condition>,
    ) -> io::Result<Option<i32>> {
        let Some(number) = number(name)? else {
            return Ok(None);
        };
        let comparison = condition.map(|condition| {
            use lib::scmp_compare as op;
            let (op, datum_a, datum_b) = match condition {
                Condition::LessThan(value) => (op::SCMP_CMP_LT, value, 0),
                Condition::Equal(value) => (op::SCMP_CMP_EQ, value, 0),
                Condition::Clear(mask) => (op::SCMP_CMP_MASKED_EQ, mask, 0),
            };
            lib::scmp_arg_cmp { arg: 0, op, datum_a, datum_b }
        });
        let comparisons = comparison.as_slice();
        let count = u32::from(comparison.is_some());
        // SAFETY: the context is alive and the array has `count` elements.
        let code = unsafe {
            lib::seccomp_rule_add_array(self.context, action.code(), number, count, comparisons.as_ptr())
        };
        check(code)?;
        Ok(Some(number))
    }

    /// The finished program.
    pub(crate) fn export(&self) -> io::Result<Vec<u8>> {
        use std::io::{Read, Seek};
        use std::os::fd::AsRawFd;
        let memory = rustix::fs::memfd_create("seccomp", rustix::fs::MemfdFlags::CLOEXEC)?;
        let mut file = std::fs::File::from(memory);
        // SAFETY: the context is alive and the descriptor open.
        check(unsafe { lib::seccomp_export_bpf(self.context, file.as_raw_fd()) })?;
        let mut program = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut program)?;
        Ok(program)
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        // SAFETY: the context is alive and not used afterwards.
        unsafe { lib::seccomp_release(self.context) };
    }
}

/// The number of a call on the native architecture, negative if it only exists on another, `None` if libseccomp does not know it.
pub(crate) fn number(name: &str) -> io::Result<Option<i32>> {
    let name = CString::new(name)?;
    // SAFETY: the name is a valid string.
    let number = unsafe { lib::seccomp_syscall_resolve_name(name.as_ptr()) };
    Ok((number != UNKNOWN_CALL).then_some(number))
}

fn check(code: i32) -> io::Result<()> {
    if code < 0 { Err(io::Error::from_raw_os_error(-code)) } else { Ok(()) }
}

/// Size of one instruction of a program.
pub(crate) const INSTRUCTION: usize = size_of::<libc::sock_filter>();

/// Applies a program to the calling thread. Needs `CAP_SYS_ADMIN`, as `no_new_privs` is left alone.
pub(crate) fn load(program: &[u8]) -> io::Result<()> {
    let mut instructions: Vec<libc::sock_filter> = program
        .chunks_exact(INSTRUCTION)
        .map(|bytes| libc::sock_filter {
            code: u16::from_ne_bytes([bytes[0], bytes[1]]),
            jt: bytes[2],
            jf: bytes[3],
            k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        })
        .collect();
    let length = u16::try_from(instructions.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = libc::sock_fprog { len: length, filter: instructions.as_mut_ptr() };
    // SAFETY: the program points to as many instructions as it says, and they outlive the call.
    let done =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
