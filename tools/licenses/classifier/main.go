// Command classifier detects the licences of source trees.
//
// It reads directories from standard input, one per line, and writes a JSON object for each:
// the SPDX identifiers detected in its licence files, and the files that match no known licence.
package main

import (
	"bufio"
	"encoding/json"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// A file is a licence if at least this share of it matches. pkg.go.dev uses the same threshold.
const minPercent = 75

var licenceFile = regexp.MustCompile(`(?i)(^|[-_.])(un)?licen[cs]es?([-_.]|$)|^copying([-_.]|$)`)

// Not licence texts: code, lists of dependencies, and licences of documentation (`.docs`).
var otherSuffixes = []string{
	".csv", ".docs", ".go", ".js", ".json", ".py", ".sh", ".tmpl", ".yaml", ".yml",
}

type result struct {
	Directory string   `json:"directory"`
	Licenses  []string `json:"licenses"`
	Unknown   []string `json:"unknown"`
}

func main() {
	log.SetFlags(0)
	output := json.NewEncoder(os.Stdout)
	directories := bufio.NewScanner(os.Stdin)
	for directories.Scan() {
		licences, err := classify(directories.Text())
		if err != nil {
			log.Fatal(err)
		}
		if err := output.Encode(licences); err != nil {
			log.Fatal(err)
		}
	}
	if err := directories.Err(); err != nil {
		log.Fatal(err)
	}
}

// classify reads the licence files in the root, and in subdirectories that contain Go code.
func classify(root string) (result, error) {
	licences := result{Directory: root, Licenses: []string{}, Unknown: []string{}}
	files, withCode, err := walk(root)
	if err != nil {
		return licences, err
	}
	for _, file := range files {
		if directory := filepath.Dir(file); directory != root && !withCode[directory] {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return licences, err
		}
		coverage := licensecheck.Scan(text)
		if coverage.Percent < minPercent {
			name, err := filepath.Rel(root, file)
			if err != nil {
				return licences, err
			}
			licences.Unknown = append(licences.Unknown, filepath.ToSlash(name))
		}
		for _, match := range coverage.Match {
			licences.Licenses = append(licences.Licenses, match.ID)
		}
	}
	slices.Sort(licences.Licenses)
	licences.Licenses = slices.Compact(licences.Licenses)
	return licences, nil
}

// walk returns the licence files of a tree, and its subdirectories that contain Go code at any
// depth.
func walk(root string) (files []string, withCode map[string]bool, err error) {
	withCode = map[string]bool{}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		switch {
		case entry.IsDir():
			// Go ignores these directories when it builds.
			if path != root && (name == "testdata" || name[0] == '_' || name[0] == '.') {
				return fs.SkipDir
			}
		case !entry.Type().IsRegular():
		case strings.HasSuffix(name, ".go"):
			for at := filepath.Dir(path); len(at) > len(root) && !withCode[at]; at = filepath.Dir(at) {
				withCode[at] = true
			}
		case licenceFile.MatchString(name):
			if !slices.Contains(otherSuffixes, strings.ToLower(filepath.Ext(name))) {
				files = append(files, path)
			}
		}
		return nil
	})
	return files, withCode, err
}
