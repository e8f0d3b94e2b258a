namespace Perf.Store.V2;

/// <summary>Replicated requests as operations of the store.</summary>
public sealed partial class V2Store
{
    /// <summary>
    /// Applies a request to the tree. The two that concern the membership (a member's attributes, the cluster
    /// version) are the state machine's and do not come here. False: no such method.
    /// </summary>
    public bool TryApply(V2Request request, out V2Result result)
    {
        bool refresh = request.Refresh ?? false;
        result = default;
        switch (request.Method)
        {
            case "POST":
                result = Create(request.Path, request.Directory, request.Value, unique: true, request.Expiration);
                return true;

            case "PUT" when request.PrevExist == false:
                result = Create(request.Path, request.Directory, request.Value, unique: false, request.Expiration);
                return true;

            case "PUT" when request.PrevIndex > 0 || request.PrevValue.Length > 0:
                result = CompareAndSwap(
                    request.Path, request.PrevValue, request.PrevIndex, request.Value, request.Expiration, refresh);
                return true;

            case "PUT" when request.PrevExist == true:
                result = Update(request.Path, request.Value, request.Expiration, refresh);
                return true;

            case "PUT":
                result = Set(request.Path, request.Directory, request.Value, request.Expiration, refresh);
                return true;

            case "DELETE" when request.PrevIndex > 0 || request.PrevValue.Length > 0:
                result = CompareAndDelete(request.Path, request.PrevValue, request.PrevIndex);
                return true;

            case "DELETE":
                result = Delete(request.Path, request.Directory, request.Recursive);
                return true;

            case "QGET":
                result = Get(request.Path, request.Recursive, request.Sorted);
                return true;

            case "SYNC":
                DeleteExpired(request.Time);
                return true;

            default:
                return false;
        }
    }
}
