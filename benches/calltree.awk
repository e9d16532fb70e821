# From a callgrind file: a tree of calls with instructions per operation, then the costliest functions by themselves.
# awk -v operations=N [-v least=M] [-v root=REGEX] -f calltree.awk OUT
function name(text,   id) {
    match(text, /^\([0-9]+\)/)
    id = substr(text, 1, RLENGTH)
    if (length(text) > RLENGTH) { names[id] = substr(text, RLENGTH + 2); sub(/'[0-9]+$/, "", names[id]) }
    return names[id]
}
function show(f, cost, depth,   e, i, n, keys, best, pair, used) {
    printf "%8d %*s%s  [itself %d of %d]\n", cost / operations, depth * 2, "", f, own[f] / operations, all[f] / operations
    if (busy[f] || depth > 9) return
    busy[f] = 1
    do {
        best = ""
        for (e in edge) {
            split(e, pair, SUBSEP)
            if (pair[1] == f && !(e in used) && edge[e] / operations >= least && (best == "" || edge[e] > edge[best])) best = e
        }
        if (best != "") { used[best]; split(best, pair, SUBSEP); show(pair[2], edge[best], depth + 1) }
    } while (best != "")
    busy[f] = 0
}
BEGIN { if (!least) least = 100; if (!root) root = "micro::measured$" }
/^fn=/ { f = name(substr($0, 4)); next }
/^cfn=/ { callee = name(substr($0, 5)); next }
/^calls=/ { call = 1; next }
/^[-+*0-9]/ && NF >= 2 {
    if (call) edge[f, callee] += $2; else own[f] += $2
    all[f] += $2
    call = 0
}
END {
    for (f in all) if (f ~ root) show(f, all[f], 0)
    print "by themselves:"
    for (f in own) printf "%8d %s\n", own[f] / operations, f | "sort -rn | head -40"
}
