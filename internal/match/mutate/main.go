package main

import (
	"fmt"
	"os"

	"github.com/cdcd-project/cdcd/internal/mutate"
)

func main() {
	if err := mutate.Run(mutants, os.Args[1:], "./internal/match"); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}
