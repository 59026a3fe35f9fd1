package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// inspector does the task with MCP Inspector's command line: one process for
// each request.
func (l *lab) inspector(ctx context.Context, todo task, era string) (*report, error) {
	got := &report{}
	inspect := func(into any, args ...string) error {
		all := append([]string{l.tools.installed("", ".bin", "mcp-inspector"), "--cli", todo.URL, "--transport", "http", "--protocol-era", era}, args...)
		if err := output(l.command(ctx, l.tools.node(), all...), into); err != nil {
			return fmt.Errorf("%q: %w", args, err)
		}
		return nil
	}
	for _, list := range []struct {
		method, member, key string
		names               *[]string
	}{
		{"tools/list", "tools", "name", &got.Tools}, {"prompts/list", "prompts", "name", &got.Prompts},
		{"resources/list", "resources", "uri", &got.Resources}, {"resources/templates/list", "resourceTemplates", "uriTemplate", &got.Templates},
	} {
		var result json.RawMessage
		err := inspect(&result, "--method", list.method)
		if err == nil {
			*list.names, err = names(result, list.member, list.key)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, c := range todo.Calls {
		var result struct{ Content []struct{ Text string } }
		args := []string{"--method", "tools/call", "--tool-name", c.Name}
		if err := inspect(&result, append(args, pairs("--tool-arg", c)...)...); err != nil {
			return nil, err
		}
		if len(result.Content) == 0 {
			return nil, errors.New("tools/call: no content")
		}
		got.Calls = append(got.Calls, result.Content[0].Text)
	}
	var prompt struct {
		Messages []struct{ Content struct{ Text string } }
	}
	if err := inspect(&prompt, append([]string{"--method", "prompts/get", "--prompt-name", todo.Prompt.Name}, pairs("--prompt-args", todo.Prompt)...)...); err != nil {
		return nil, err
	}
	var resource struct{ Contents []struct{ Text string } }
	if err := inspect(&resource, "--method", "resources/read", "--uri", todo.URI); err != nil {
		return nil, err
	}
	if len(prompt.Messages) == 0 || len(resource.Contents) == 0 {
		return nil, errors.New("prompts/get or resources/read: nothing in it")
	}
	got.Prompt, got.Resource = prompt.Messages[0].Content.Text, resource.Contents[0].Text
	return got, nil
}

func pairs(flag string, a ask) []string {
	var all []string
	for name, value := range a.Arguments {
		all = append(all, flag, name+"="+value)
	}
	return all
}
