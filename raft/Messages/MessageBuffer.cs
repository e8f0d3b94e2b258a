namespace Perf.Raft;

/// <summary>A growing array of messages that is reused.</summary>
internal sealed class MessageBuffer
{
    private Message[] _messages = new Message[16];

    public int Count { get; private set; }

    public ReadOnlySpan<Message> Span => _messages.AsSpan(0, Count);

    public void Add(in Message message)
    {
        if (Count == _messages.Length)
        {
            Array.Resize(ref _messages, Count * 2);
        }

        _messages[Count++] = message;
    }

    public void Clear()
    {
        Array.Clear(_messages, 0, Count);
        Count = 0;
    }
}
