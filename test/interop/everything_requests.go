package main

import (
	"encoding/json"
	"fmt"
)

func tool(name, arguments string) call {
	return call{method: "tools/call", name: name, params: fmt.Sprintf(`{"name":%q,"arguments":%s}`, name, arguments)}
}

func prompt(name, arguments string) call {
	return call{method: "prompts/get", name: name, params: fmt.Sprintf(`{"name":%q,"arguments":%s}`, name, arguments)}
}

func read(uri string) call {
	quoted, _ := json.Marshal(uri) // a string always can be
	return call{method: "resources/read", name: uri, params: `{"uri":` + string(quoted) + `}`}
}

func atTheTime(c call) call {
	c.clock = true
	return c
}

func withProgress(c call) call {
	c.progress = true
	return c
}

// requests are what server-everything is asked, beside each resource that it
// lists. Left out are the two tools that switch a session's own log messages on.
func requests() []call {
	return []call{
		tool("echo", `{"message":"a kind word"}`),
		tool("echo", `{"message":"oh crap, crap!"}`),
		tool("echo", `{"message":"na\u00efve \u2028 \ud83d\ude00 \"quoted\" \\ / \u0000 <&>"}`),
		tool("echo", `{"message":"lone surrogate \ud83d then text"}`),
		tool("echo", `{"message":"spaced" ,  "unknown" : [1.0, 1e2, 9007199254740993]}`),
		tool("echo", `{}`),
		tool("get-sum", `{"a":0.1,"b":0.2}`),
		tool("get-sum", `{"a":1e2,"b":9007199254740993}`),
		tool("get-sum", `{"a":"one","b":2}`),
		tool("get-tiny-image", `{}`),
		tool("get-annotated-message", `{"messageType":"error"}`),
		tool("get-annotated-message", `{"messageType":"debug","includeImage":true}`),
		tool("get-resource-links", `{"count":4}`),
		atTheTime(tool("get-resource-reference", `{"resourceType":"Text","resourceId":1}`)),
		atTheTime(tool("get-resource-reference", `{"resourceType":"Blob","resourceId":2}`)),
		tool("get-structured-content", `{"location":"New York"}`),
		tool("get-structured-content", `{"location":"Crappington"}`),
		tool("get-env", `{}`),
		tool("gzip-file-as-resource", `{"name":"hello.gz","data":"data:text/plain;base64,aGVsbG8=","outputType":"resource"}`),
		read("demo://resource/session/hello.gz"),
		withProgress(tool("trigger-long-running-operation", `{"duration":0.3,"steps":3}`)),
		tool("simulate-research-query", `{"topic":"bytes"}`),
		prompt("simple-prompt", `{}`),
		prompt("args-prompt", `{"city":"Paris"}`),
		prompt("args-prompt", `{"city":"crap","state":"of mind"}`),
		prompt("args-prompt", `{}`),
		prompt("completable-prompt", `{"department":"Sales","name":"Eve"}`),
		atTheTime(prompt("resource-prompt", `{"resourceType":"Text","resourceId":"3"}`)),
		atTheTime(read("demo://resource/dynamic/text/7")),
		atTheTime(read("demo://resource/dynamic/blob/8")),
		read("demo://resource/dynamic/text/nonsense"),
		{
			method: "completion/complete",
			params: `{"ref":{"type":"ref/resource","uri":"demo://resource/dynamic/text/{resourceId}"},"argument":{"name":"resourceId","value":"12"}}`,
		},
	}
}
