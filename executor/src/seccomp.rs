//! The seccomp filter of every container: Docker's default rules for its default capabilities.
//!
//! It is compiled once a process and loaded from its bytes, as compiling costs more than the rest of a container's start. On x86-64 the
//! filter also covers 32-bit x86 and x32 programs, as Docker's does, since images with 32-bit programs exist; the price is a larger program, which
//! the binary-tree layout makes irrelevant (`cargo run --example start_time`).
//!
//! A call that is newer than the libseccomp at hand fails with `ENOSYS`, not `EPERM`: C libraries fall back on the former only.
//!
//! As in Docker, `socketcall` of 32-bit x86 is allowed, behind whose pointer the socket family cannot be seen.

mod profile;

use std::io;
use std::sync::OnceLock;

use crate::sys::seccomp::{Action, Builder, Condition, INSTRUCTION, Layout, number};

/// The compiled filter.
pub(crate) fn filter() -> io::Result<&'static [u8]> {
    static FILTER: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(filter) = FILTER.get() {
        return Ok(filter);
    }
    let compiled = compile(Layout::Tree)?;
    Ok(FILTER.get_or_init(|| compiled))
}

#[cfg(target_arch = "x86_64")]
const SUB_ARCHITECTURES: &[u32] = &[libseccomp_sys::SCMP_ARCH_X86, libseccomp_sys::SCMP_ARCH_X32];
#[cfg(target_arch = "aarch64")]
const SUB_ARCHITECTURES: &[u32] = &[libseccomp_sys::SCMP_ARCH_ARM];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const SUB_ARCHITECTURES: &[u32] = &[];

fn compile(layout: Layout) -> io::Result<Vec<u8>> {
    let denied = u16::try_from(libc::EPERM).expect("an errno fits");
    let missing = u16::try_from(libc::ENOSYS).expect("an errno fits");
    let mut builder = Builder::new(denied, layout)?;
    for architecture in SUB_ARCHITECTURES {
        builder.add_architecture(*architecture)?;
    }
    let mut newest = 0;
    for name in profile::ALLOWED.iter().chain(profile::ALLOWED_HERE) {
        newest = newest.max(builder.add(name, Action::Allow, None)?.unwrap_or(0));
    }
    for name in profile::KNOWN_BUT_DENIED {
        newest = newest.max(number(name)?.unwrap_or(0));
    }
    builder.add("socket", Action::Allow, Some(Condition::LessThan(profile::FAMILIES_BELOW)))?;
    for family in profile::FAMILIES {
        builder.add("socket", Action::Allow, Some(Condition::Equal(*family)))?;
    }
    for persona in profile::PERSONALITIES {
        builder.add("personality", Action::Allow, Some(Condition::Equal(*persona)))?;
    }
    builder.add("clone", Action::Allow, Some(Condition::Clear(profile::NAMESPACE_FLAGS)))?;
    // Its flags lie behind a pointer, so that it is hidden: everybody falls back on clone.
    builder.add("clone3", Action::Fail(missing), None)?;
    let mut program = refuse_newer_than(newest);
    program.extend(builder.export()?);
    Ok(program)
}

/// Instructions that answer `ENOSYS` to calls with a number above `newest`, and go on otherwise. Since Linux 5.1 all
/// architectures number new calls alike.
fn refuse_newer_than(newest: i32) -> Vec<u8> {
    const LOAD_NUMBER: u16 = 0x20;
    const AND: u16 = 0x54;
    const JUMP_IF_GREATER: u16 = 0x25;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const X32_BIT: u32 = 0x4000_0000;
    // 32-bit ARM numbers its private calls from here on.
    const PRIVATE: u32 = 0x000f_0000;
    let errno = u32::try_from(libc::ENOSYS).expect("an errno is positive");
    let newest = u32::try_from(newest).expect("the newest call has a number");
    let instructions: [(u16, u8, u8, u32); 5] = [
        (LOAD_NUMBER, 0, 0, 0),
        (AND, 0, 0, !X32_BIT),
        (JUMP_IF_GREATER, 0, 2, newest),
        (JUMP_IF_AT_LEAST, 1, 0, PRIVATE),
        (RETURN, 0, 0, libseccomp_sys::SCMP_ACT_ERRNO_MASK | errno),
    ];
    let mut bytes = Vec::with_capacity(instructions.len() * INSTRUCTION);
    for (code, if_true, if_false, operand) in instructions {
        bytes.extend(code.to_ne_bytes());
        bytes.extend([if_true, if_false]);
        bytes.extend(operand.to_ne_bytes());
    }
    bytes
}
