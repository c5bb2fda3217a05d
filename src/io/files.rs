//! Files that the programs themselves open: the configuration, the library's directory, a file of
//! figures. Blocks are opened in `blobs`, the store in `spooler`, a source of lines in `lines`.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a file or a directory to read.
///
/// # Errors
/// The system's.
pub fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Makes a file to write, in place of one that is there.
///
/// # Errors
/// The system's.
pub fn create(path: &Path) -> io::Result<File> {
    File::create(path)
}
