// The AWS SDK for Go, or minio-go, at one endpoint: a question per line in, an answer per line
// out. See tests/clients/sdks.py.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const partSize = 8 << 20

type settings struct {
	URL       string `json:"url"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

type question struct {
	Do   string            `json:"do"`
	With []json.RawMessage `json:"with"`
}

type options struct {
	IfMatch     string `json:"if_match"`
	IfNoneMatch string `json:"if_none_match"`
	Checksum    string `json:"checksum"`
}

// agent is what people do with a bucket.
type agent interface {
	makeBucket(bucket string) error
	buckets() ([]string, error)
	upload(path, bucket, key string) error
	uploadTree(folder, bucket, prefix string) error
	downloadTree(bucket, prefix, folder string) error
	listNames(bucket, prefix string) ([]string, error)
	copy(bucket, source, target string) error
	presign(bucket, key string) (string, error)
	delete(bucket, key string) error
	empty(bucket string) error
	removeBucket(bucket string) error
	put(bucket, key, text string, how options) (string, error)
	get(bucket, key string) (string, error)
}

func answer(one agent, asked question) (any, error) {
	texts := make([]string, 3)
	var how options
	for number, raw := range asked.With {
		target := any(&how)
		if number < 3 {
			target = &texts[number]
		}
		if err := json.Unmarshal(raw, target); err != nil {
			return nil, err
		}
	}
	first, second, third := texts[0], texts[1], texts[2]
	switch asked.Do {
	case "make_bucket":
		return nil, one.makeBucket(first)
	case "buckets":
		return one.buckets()
	case "upload":
		return nil, one.upload(first, second, third)
	case "upload_tree":
		return nil, one.uploadTree(first, second, third)
	case "download_tree":
		return nil, one.downloadTree(first, second, third)
	case "list_names":
		names, err := one.listNames(first, second)
		for number, name := range names {
			names[number] = strings.TrimPrefix(name, second)
		}
		return names, err
	case "copy":
		return nil, one.copy(first, second, third)
	case "move":
		if err := one.copy(first, second, third); err != nil {
			return nil, err
		}
		return nil, one.delete(first, second)
	case "presign":
		return one.presign(first, second)
	case "delete":
		return nil, one.delete(first, second)
	case "empty":
		return nil, one.empty(first)
	case "remove_bucket":
		return nil, one.removeBucket(first)
	case "put":
		return one.put(first, second, third, how)
	case "get":
		return one.get(first, second)
	}
	return nil, fmt.Errorf("no %q here", asked.Do)
}

// files gives the files below a folder, by their relative names.
func files(folder string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			name, _ := filepath.Rel(folder, path)
			found = append(found, name)
		}
		return err
	})
	return found, err
}

// each acts on eight texts at a time and gives the first error.
func each(texts []string, act func(string) error) error {
	var group sync.WaitGroup
	left := make(chan string, len(texts))
	failed := make(chan error, len(texts))
	for _, text := range texts {
		left <- text
	}
	close(left)
	for range 8 {
		group.Go(func() {
			for text := range left {
				if err := act(text); err != nil {
					failed <- err
				}
			}
		})
	}
	group.Wait()
	close(failed)
	return <-failed
}

func main() {
	makers := map[string]func(settings) (agent, error){"aws": newAWS, "minio": newMinio}
	var one agent
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var result any
		var err error
		if one == nil {
			var given settings
			if err = json.Unmarshal(lines.Bytes(), &given); err == nil {
				one, err = makers[os.Args[1]](given)
			}
		} else {
			var asked question
			if err = json.Unmarshal(lines.Bytes(), &asked); err == nil {
				result, err = answer(one, asked)
			}
		}
		said := map[string]any{"result": result}
		if err != nil {
			said = map[string]any{"error": err.Error()}
		}
		line, _ := json.Marshal(said)
		fmt.Println(string(line))
	}
}
