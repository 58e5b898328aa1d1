// Command checker reads docker/ as Docker itself does: compose.yml by the loader of docker compose, the Dockerfile by BuildKit's parser and linter.
// It prints what was read as JSON and ends with 1 where something is wrong.
//
//	checker compose FILE [PROFILE…]
//	checker dockerfile FILE
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func compose(file string, profiles []string) (any, error) {
	options, err := cli.NewProjectOptions([]string{file},
		cli.WithOsEnv, cli.WithName("throughline"), cli.WithWorkingDirectory(filepath.Dir(file)), cli.WithProfiles(profiles), cli.WithConsistency(true))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}

func dockerfile(file string) (any, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	warnings := []string{}
	for _, warning := range parsed.Warnings {
		warnings = append(warnings, warning.Short)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) {
		warnings = append(warnings, rule+": "+message)
	}})
	stages, _, err := instructions.Parse(parsed.AST, lint)
	if err != nil {
		return nil, err
	}
	read := []map[string]any{}
	for _, stage := range stages {
		words := []string{}
		for _, command := range stage.Commands {
			words = append(words, fmt.Sprint(command))
		}
		read = append(read, map[string]any{"name": stage.Name, "from": stage.BaseName, "commands": words})
	}
	return map[string]any{"stages": read, "warnings": warnings}, nil
}

func main() {
	var read any
	err := fmt.Errorf("usage: checker compose FILE [PROFILE…] | checker dockerfile FILE")
	if len(os.Args) > 2 && os.Args[1] == "compose" {
		read, err = compose(os.Args[2], os.Args[3:])
	} else if len(os.Args) > 2 && os.Args[1] == "dockerfile" {
		read, err = dockerfile(os.Args[2])
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(read)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
