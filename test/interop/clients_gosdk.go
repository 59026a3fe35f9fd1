package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// goSDKVersion is that of the official Go SDK in this program.
func goSDKVersion() string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/modelcontextprotocol/go-sdk" {
				return m.Version
			}
		}
	}
	return "unknown"
}

// goSDK does the task with the official Go SDK, asking for a revision.
func goSDK(revision string) func(context.Context, task) (*report, error) {
	return func(ctx context.Context, todo task) (_ *report, err error) {
		session, err := mcp.NewClient(&mcp.Implementation{Name: "interop", Version: "1.0.0"}, nil).
			Connect(ctx, &mcp.StreamableClientTransport{Endpoint: todo.URL}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, session.Close()) }()
		got := &report{Protocol: session.InitializeResult().ProtocolVersion}
		if err := listWithGo(ctx, session, got); err != nil {
			return nil, err
		}
		for _, c := range todo.Calls {
			result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: c.Name, Arguments: c.Arguments})
			if err != nil {
				return nil, err
			}
			got.Calls = append(got.Calls, firstText(result.Content...))
		}
		prompt, err := session.GetPrompt(ctx, &mcp.GetPromptParams{Name: todo.Prompt.Name, Arguments: todo.Prompt.Arguments})
		if err != nil {
			return nil, err
		}
		got.Prompt = firstText(prompt.Messages[0].Content)
		resource, err := session.ReadResource(ctx, &mcp.ReadResourceParams{URI: todo.URI})
		if err != nil {
			return nil, err
		}
		got.Resource = resource.Contents[0].Text
		return got, nil
	}
}

func listWithGo(ctx context.Context, session *mcp.ClientSession, got *report) error {
	for tool, err := range session.Tools(ctx, nil) {
		if err != nil {
			return err
		}
		got.Tools = append(got.Tools, tool.Name)
	}
	for prompt, err := range session.Prompts(ctx, nil) {
		if err != nil {
			return err
		}
		got.Prompts = append(got.Prompts, prompt.Name)
	}
	for resource, err := range session.Resources(ctx, nil) {
		if err != nil {
			return err
		}
		got.Resources = append(got.Resources, resource.URI)
	}
	for template, err := range session.ResourceTemplates(ctx, nil) {
		if err != nil {
			return err
		}
		got.Templates = append(got.Templates, template.URITemplate)
	}
	return nil
}

func firstText(content ...mcp.Content) string {
	if len(content) == 0 {
		return ""
	}
	if text, ok := content[0].(*mcp.TextContent); ok {
		return text.Text
	}
	return fmt.Sprintf("%T", content[0])
}
