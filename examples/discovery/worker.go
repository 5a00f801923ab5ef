// A service in Go that finds another in two ways that need no library: the program's JSON, and a
// file that `comrade watch` keeps.
//
//	go build worker.go
//	comrade run --role worker --port auto --pass-store -- ./worker
//
//	/                  says hello
//	/others            greets every live web server that `comrade list --json` names
//	/others-from-file  greets those in the file that WEB_SERVERS names, an ip:port a line
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

type member struct {
	ID       string `json:"id"`
	Metadata struct {
		IP   string `json:"ip"`
		Port int    `json:"port"`
	} `json:"metadata"`
}

// listed asks the program: a line a member.
func listed() ([]string, error) {
	output, err := exec.Command("comrade", "list", "--role", "web", "--json").Output()
	if err != nil {
		return nil, err
	}
	var addresses []string
	lines := bufio.NewScanner(bytes.NewReader(output))
	for lines.Scan() {
		var found member
		if err := json.Unmarshal(lines.Bytes(), &found); err != nil {
			return nil, err
		}
		port := strconv.Itoa(found.Metadata.Port)
		addresses = append(addresses, net.JoinHostPort(found.Metadata.IP, port))
	}
	return addresses, lines.Err()
}

// rendered reads the file, which is always whole: it is replaced, never written to.
func rendered() ([]string, error) {
	text, err := os.ReadFile(os.Getenv("WEB_SERVERS"))
	return strings.Fields(string(text)), err
}

func greet(address string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + address + "/")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

func greetAll(find func() ([]string, error)) http.HandlerFunc {
	return func(response http.ResponseWriter, _ *http.Request) {
		addresses, err := find()
		var answers strings.Builder
		for _, address := range addresses {
			var text string
			if text, err = greet(address); err != nil {
				break
			}
			answers.WriteString(text)
		}
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadGateway)
			return
		}
		io.WriteString(response, answers.String())
	}
}

func main() {
	http.HandleFunc("/", func(response http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(response, "hello from worker, process %d\n", os.Getpid())
	})
	http.HandleFunc("/others", greetAll(listed))
	http.HandleFunc("/others-from-file", greetAll(rendered))
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
