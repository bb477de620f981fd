// Command verify checks an exported log and its proof files with the Go project's own note and tlog packages.
//
//	verify LOGDIR LOGVKEY [-cosigner VKEY]... [-proof FILE ENTRY]... [-old CHECKPOINT]
//
// It shares no code with the product: only the published formats.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// cosigner verifies timestamped Ed25519 cosignatures (type 04), which the note package leaves to others.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	text := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), msg)
	return ed25519.Verify(c.key, []byte(text), sig[8:])
}

func newCosigner(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("malformed cosigner key")
	}
	data, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(data) != 33 || data[0] != 4 {
		return nil, errors.New("no Ed25519 cosigner key")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), data...))
	hash := binary.BigEndian.Uint32(sum[:])
	if fmt.Sprintf("%08x", hash) != parts[1] {
		return nil, errors.New("cosigner key ID does not match")
	}
	return cosigner{parts[0], hash, data[1:]}, nil
}

// tiles reads tiles as C2SP tlog-tiles lays them out.
type tiles struct{ dir string }

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		data, err := os.ReadFile(t.path(strconv.Itoa(tile.L), tile.N, tile.W))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) path(level string, n int64, width int) string {
	name := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		name = fmt.Sprintf("x%03d/%s", n%1000, name)
	}
	if width < 256 {
		name += fmt.Sprintf(".p/%d", width)
	}
	return filepath.Join(t.dir, "tile", level, name)
}

func openCheckpoint(data []byte, origin string, cosigners int, known note.Verifiers) (tlog.Tree, error) {
	opened, err := note.Open(data, known)
	if err != nil {
		return tlog.Tree{}, err
	}
	if len(opened.Sigs) != 1+cosigners {
		return tlog.Tree{}, fmt.Errorf("%d known signatures, expected %d", len(opened.Sigs), 1+cosigners)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != origin {
		return tlog.Tree{}, errors.New("malformed checkpoint")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func (t tiles) entries(size int64) ([][]byte, error) {
	var found [][]byte
	for n := int64(0); n*256 < size; n++ {
		width := 256
		if size-n*256 < 256 {
			width = int(size - n*256)
		}
		data, err := os.ReadFile(t.path("entries", n, width))
		if err != nil {
			return nil, err
		}
		for i := 0; i < width; i++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				return nil, errors.New("short bundle")
			}
			length := int(binary.BigEndian.Uint16(data))
			found, data = append(found, data[2:2+length]), data[2+length:]
		}
		if len(data) > 0 {
			return nil, errors.New("long bundle")
		}
	}
	return found, nil
}

// checkLog reads every entry, and proves each against the tiles, which are checked against the tree.
func checkLog(t tiles, tree tlog.Tree) error {
	entries, err := t.entries(tree.N)
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, t)
	for i, entry := range entries {
		proof, err := tlog.ProveRecord(tree.N, int64(i), reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), tlog.RecordHash(entry)); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return nil
}

func checkProof(data, entry []byte, open func([]byte) (tlog.Tree, error)) error {
	head, checkpoint, found := bytes.Cut(data, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("no proof")
	}
	lines = lines[1:]
	if strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64)
	if err != nil {
		return err
	}
	var path tlog.RecordProof
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		path = append(path, hash)
	}
	tree, err := open(checkpoint)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: verify LOGDIR LOGVKEY [-cosigner VKEY] [-proof FILE ENTRY] [-old CHECKPOINT]")
	}
	dir, rest := tiles{args[0]}, args[2:]
	logKey, err := note.NewVerifier(args[1])
	if err != nil {
		return err
	}
	known, cosigners := []note.Verifier{logKey}, 0
	for ; len(rest) > 1 && rest[0] == "-cosigner"; rest = rest[2:] {
		key, err := newCosigner(rest[1])
		if err != nil {
			return err
		}
		known, cosigners = append(known, key), cosigners+1
	}
	open := func(data []byte) (tlog.Tree, error) {
		return openCheckpoint(data, logKey.Name(), cosigners, note.VerifierList(known...))
	}
	data, err := os.ReadFile(filepath.Join(dir.dir, "checkpoint"))
	if err != nil {
		return err
	}
	tree, err := open(data)
	if err != nil {
		return err
	}
	if err := checkLog(dir, tree); err != nil {
		return err
	}
	proofs := 0
	for ; len(rest) > 2 && rest[0] == "-proof"; rest = rest[3:] {
		data, err := os.ReadFile(rest[1])
		if err != nil {
			return err
		}
		entry, err := os.ReadFile(rest[2])
		if err != nil {
			return err
		}
		if err := checkProof(data, entry, open); err != nil {
			return err
		}
		proofs++
	}
	if len(rest) > 1 && rest[0] == "-old" {
		data, err := os.ReadFile(rest[1])
		if err != nil {
			return err
		}
		old, err := openCheckpoint(data, logKey.Name(), 0, note.VerifierList(logKey))
		if err != nil {
			return err
		}
		path, err := tlog.ProveTree(tree.N, old.N, tlog.TileHashReader(tree, dir))
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(path, tree.N, tree.Hash, old.N, old.Hash); err != nil {
			return err
		}
	}
	fmt.Printf("%d entries, %d proofs, %d cosignatures\n", tree.N, proofs, cosigners)
	return nil
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}
