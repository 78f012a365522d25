// A Go peer of the Spegel network for interoperability tests: go-libp2p and go-libp2p-kad-dht as
// Spegel's router sets them up (prefix /spegel, server mode), driven by JSON lines.
//
// Commands on stdin, one answer each on stdout: {"op":"connect","addr":"/ip4/…/p2p/…"},
// {"op":"provide","prefix":"a","n":1000}, {"op":"find","prefix":"a","n":1000,"seconds":30},
// {"op":"peers"}. A first line tells the peer id and the addresses.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	mh "github.com/multiformats/go-multihash"
)

const parallel = 16

type command struct {
	Op      string `json:"op"`
	Addr    string `json:"addr"`
	Prefix  string `json:"prefix"`
	N       int    `json:"n"`
	Seconds int    `json:"seconds"`
}

type node struct {
	host host.Host
	kad  *dht.IpfsDHT
}

func main() {
	listen := flag.String("listen", "/ip4/127.0.0.1/tcp/0", "multiaddr to listen on")
	pskHex := flag.String("psk", "", "pre-shared key in hex")
	ecdsa := flag.Bool("ecdsa", false, "have an ECDSA identity, as K3s does")
	flag.Parse()
	if err := run(*listen, *pskHex, *ecdsa); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(listen, pskHex string, ecdsa bool) error {
	kind := crypto.Ed25519
	if ecdsa {
		kind = crypto.ECDSA
	}
	key, _, err := crypto.GenerateKeyPairWithReader(kind, 256, rand.Reader)
	if err != nil {
		return err
	}
	options := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.ListenAddrStrings(listen),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.DisableRelay(),
	}
	if pskHex != "" {
		psk, err := hex.DecodeString(pskHex)
		if err != nil {
			return err
		}
		options = append(options, libp2p.PrivateNetwork(psk))
	}
	h, err := libp2p.New(options...)
	if err != nil {
		return err
	}
	defer h.Close()
	ctx := context.Background()
	kad, err := dht.New(h, dht.Mode(dht.ModeServer), dht.ProtocolPrefix("/spegel"),
		dht.DisableValues(), dht.MaxRecordAge(19*time.Minute))
	if err != nil {
		return err
	}
	defer kad.Close()

	answers := json.NewEncoder(os.Stdout)
	n := node{h, kad}
	if err := answers.Encode(map[string]any{"id": h.ID().String(), "addrs": h.Addrs()}); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var c command
		answer := map[string]any{}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			answer["error"] = err.Error()
		} else if result, err := n.do(ctx, c); err != nil {
			answer["error"] = err.Error()
		} else {
			answer["result"] = result
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (n node) do(parent context.Context, c command) (any, error) {
	seconds := c.Seconds
	if seconds == 0 {
		seconds = 30
	}
	ctx, cancel := context.WithTimeout(parent, time.Duration(seconds)*time.Second)
	defer cancel()
	switch c.Op {
	case "connect":
		info, err := peer.AddrInfoFromString(c.Addr)
		if err != nil {
			return nil, err
		}
		return nil, n.host.Connect(ctx, *info)
	case "provide":
		return n.count(c, func(key cid.Cid) bool { return n.kad.Provide(ctx, key, true) == nil }), nil
	case "find":
		return n.count(c, func(key cid.Cid) bool { return n.hasForeignProvider(ctx, key) }), nil
	case "peers":
		peers := []string{}
		for _, id := range n.kad.RoutingTable().ListPeers() {
			peers = append(peers, id.String())
		}
		return peers, nil
	}
	return nil, fmt.Errorf("unknown op %q", c.Op)
}

// count runs f for each key of the command and says how often it succeeded.
func (n node) count(c command, f func(cid.Cid) bool) int64 {
	var good atomic.Int64
	var workers sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for i := range c.N {
		slots <- struct{}{}
		workers.Go(func() {
			defer func() { <-slots }()
			if f(keyOf(fmt.Sprintf("%s%d", c.Prefix, i))) {
				good.Add(1)
			}
		})
	}
	workers.Wait()
	return good.Load()
}

func (n node) hasForeignProvider(ctx context.Context, key cid.Cid) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for info := range n.kad.FindProvidersAsync(ctx, key, 1) {
		if info.ID != n.host.ID() && len(info.Addrs) > 0 {
			return true
		}
	}
	return false
}

// keyOf is Spegel's createCid: a raw CIDv1 over sha2-256 of the key's text.
func keyOf(text string) cid.Cid {
	sum := sha256.Sum256([]byte(text))
	hash, err := mh.Encode(sum[:], mh.SHA2_256)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(cid.Raw, hash)
}
