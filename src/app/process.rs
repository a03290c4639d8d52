//! What the process keeps from others on the machine.

use rustix::{
    fs::Mode,
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask},
};

/// Keys and secrets are in this process's memory and in the files it makes: no core dump takes them to a disk, no other
/// process of the same user reads them out of memory, and what is made is its owner's alone until it is given to others.
pub fn keep_private() {
    // A limit may always be lowered. It ends dumps into files; a program that the system hands dumps to (core(5)) gets
    // one for all that, unless the process is not dumpable, which also keeps debuggers of other processes out.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // A socket in the file system is bound before its mode is widened: nobody finds it open to all in between.
    umask(Mode::RWXG | Mode::RWXO);
}
