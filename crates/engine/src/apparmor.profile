# Confines containers where AppArmor runs: what a container's root could do to the kernel through files is denied,
# beside what capabilities, seccomp and read-only mounts keep from it. It stands alone, so that it loads wherever
# apparmor_parser does.
profile corten-default flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,
  dbus,

  # Anyone who is not confined may signal and look at containers, containers only their like.
  signal (receive) peer=unconfined,
  signal (send, receive) peer=corten-default,
  ptrace (readby, tracedby) peer=unconfined,
  ptrace (read, trace, readby, tracedby) peer=corten-default,

  # Sockets without a file: one's own, and what others hand in.
  unix (create, bind, listen, getattr, setattr, getopt, setopt, shutdown),
  unix (send, receive, connect, accept) peer=(label=corten-default),
  unix (send, receive) peer=(label=unconfined),

  # Mounts show what is hidden below them, and could be of files that are denied here.
  deny mount,
  deny pivot_root,

  # Of the kernel's own files only those of processes may be written, and limits of System V shared memory.
  deny /proc/* w,
  deny /proc/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/** w,
  deny /proc/sys/[^k]** w,
  deny /proc/sys/kernel/{?,??,[^s][^h][^m]**} w,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/kcore rwklx,

  # Devices and settings of the host; cgroups are left to their own mount.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
