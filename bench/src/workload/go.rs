//! A Go program of many small packages, so that compiling it costs what a small service costs.

use std::fmt::Write as _;

use crate::Error;
use crate::folder::Folder;
use crate::random::Random;

/// Packages beside the main one.
const PACKAGES: usize = 24;
/// Functions in each package.
const FUNCTIONS: usize = 40;

/// The file that scenarios change; the change reaches the program's output.
pub const MAIN: &str = "main.go";

/// Writes the program at the root of the folder.
pub fn write(folder: &mut Folder, seed: u64) -> Result<(), Error> {
    folder.file("go.mod", "module farm.example/field\n\ngo 1.19\n")?;
    folder.file(MAIN, main())?;
    for index in 0..PACKAGES {
        let name = package(index);
        folder.file(&format!("{name}/{name}.go"), source(seed, &name))?;
        folder.file(&format!("{name}/{name}_test.go"), test(&name))?;
    }
    Ok(())
}

/// The first package, which a Dockerfile may copy on its own.
pub fn package(index: usize) -> String {
    format!("row{index:02}")
}

fn source(seed: u64, name: &str) -> String {
    let mut random = Random::new(seed, name);
    let mut text = format!("// Package {name} mixes numbers.\npackage {name}\n");
    for index in 0..FUNCTIONS {
        let (rounds, factor) = (random.between(3, 9), random.next_u64() | 1);
        let (term, shift) = (random.between(1, 1 << 30), random.between(3, 30));
        let _infallible = write!(
            text,
            "\nfunc Mix{index}(n uint64) uint64 {{\n\tfor round := 0; round < {rounds}; round++ {{\n\t\tn = n*{factor} + {term}\n\t}}\n\treturn n ^ (n >> {shift})\n}}\n"
        );
    }
    text
}

fn test(name: &str) -> String {
    format!(
        "package {name}\n\nimport \"testing\"\n\nfunc TestMix0(t *testing.T) {{\n\tif Mix0(1) == Mix0(2) {{\n\t\tt.Fatal(\"two numbers became one\")\n\t}}\n}}\n"
    )
}

fn main() -> String {
    let mut imports = String::new();
    let mut calls = String::new();
    for index in 0..PACKAGES {
        let name = package(index);
        let _infallible = writeln!(imports, "\t\"farm.example/field/{name}\"");
        let _infallible = writeln!(calls, "\tn = {name}.Mix{}(n)", index % FUNCTIONS);
    }
    // The HTTP server is never started: it is there for the packages that it makes the compiler read.
    format!(
        r#"package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"

{imports})

const release = "1"

func yield() uint64 {{
	n := uint64(11)
{calls}	return n
}}

func main() {{
	if len(os.Args) < 2 {{
		fmt.Println(release, yield())
		return
	}}
	http.HandleFunc("/yield", func(w http.ResponseWriter, _ *http.Request) {{
		_ = json.NewEncoder(w).Encode(map[string]uint64{{"yield": yield()}})
	}})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}}
"#
    )
}
